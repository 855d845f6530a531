#!/usr/bin/env bash
# albumentations 2.0.8: ElasticTransform moves two corners of an image six times as far as its middle.
#
# An elastic distortion is noise, blurred with sigma and multiplied by alpha, and one expects it to be about
# equally strong everywhere, or weaker at the border as in Simard et al. (2003), whose noise ends there. Here the blur
# repeats the border's pixels outward, so that each of them counts many times: edges move more than twice as far
# as the middle, and the two upper corners (for the vertical field, the two lower ones) six times. The other corners are
# spared by accident: both fields lie in one array, so the last rows of the horizontal one are blurred together
# with the first of the vertical one, and the two agree there (correlation 0.99) though they are drawn independently.
# The noise is also divided by its largest value, so the middle moves less than half as far as uniform noise does.
#
# Output seen (2026-11-29, Python 3.11): standard deviation of the horizontal movement, in pixels of 105
#   middle: albumentations 0.4, blurred uniform noise 1.0
#   left edge: albumentations 1.1, blurred uniform noise 0.7
#   upper left: albumentations 2.7, blurred uniform noise 0.5
#   upper right: albumentations 2.6, blurred uniform noise 0.5
#   lower left: albumentations 1.1, blurred uniform noise 0.5
#   correlation of the horizontal field's last row and the vertical field's first: 0.99
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "albumentations==2.0.8" "opencv-python-headless==5.0.0.93" \
    "numpy==2.4.6" "scipy==1.17.1"
cd "$folder"
NO_ALBUMENTATIONS_UPDATE=1 "$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import albumentations
import numpy as np
from scipy.ndimage import gaussian_filter

size, alpha, sigma, draws = 105, 36, 6, 400
rows, columns = np.indices((size, size))
transform = albumentations.Compose(
    [albumentations.ElasticTransform(alpha=alpha, sigma=sigma, p=1)], seed=0, save_applied_params=True
)
horizontal, vertical = [], []
for _ in range(draws):
    maps = transform(image=np.zeros((size, size), np.uint8))["applied_transforms"][0][1]
    horizontal.append(maps["map_x"] - columns)
    vertical.append(maps["map_y"] - rows)
generator = np.random.default_rng(0)
noise = generator.uniform(-1, 1, (draws, size, size))
usual = [alpha * gaussian_filter(field, sigma, mode="constant") for field in noise]
places = {
    "middle": (52, 52), "left edge": (52, 0), "upper left": (0, 0), "upper right": (0, 104), "lower left": (104, 0)
}
for name, place in places.items():
    ours, simard = ([field[place] for field in fields] for fields in (horizontal, usual))
    print(f"{name}: albumentations {np.std(ours):.1f}, blurred uniform noise {np.std(simard):.1f}")
lowest, highest = ([field[place] for field in fields] for fields, place in ((horizontal, (104, 52)), (vertical, (0, 52))))
alike = np.corrcoef(lowest, highest)[0, 1]
print(f"correlation of the horizontal field's last row and the vertical field's first: {alike:.2f}")
PYTHON
diff "$folder/seen" - <<'SEEN'
middle: albumentations 0.4, blurred uniform noise 1.0
left edge: albumentations 1.1, blurred uniform noise 0.7
upper left: albumentations 2.7, blurred uniform noise 0.5
upper right: albumentations 2.6, blurred uniform noise 0.5
lower left: albumentations 1.1, blurred uniform noise 0.5
correlation of the horizontal field's last row and the vertical field's first: 0.99
SEEN
