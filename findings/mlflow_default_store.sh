#!/usr/bin/env bash
# pytorch-lightning 2.6.6 with mlflow 3.17.2: MLFlowLogger() with its default arguments cannot log.
#
# Lightning's default is a folder of files (save_dir="./mlruns", no tracking_uri). MLflow 3.17 refuses
# that store and asks for a database. The constructor returns; the first use of the logger raises
# mlflow.exceptions.MlflowException: "The filesystem tracking backend (e.g., './mlruns') is in
# maintenance mode ...". With tracking_uri="sqlite:///mlflow.db" the same logger works. One would expect
# a logger's defaults to work, as they did with mlflow 2.
#
# Output seen (2026-11-28, Python 3.11):
#   default: MlflowException: The filesystem tracking backend
#   sqlite: 1 metric
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "torch==2.13.0" "pytorch-lightning==2.6.6" "mlflow==3.17.2"
cd "$folder"
env -u MLFLOW_TRACKING_URI "$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null | tee "$folder/seen"
import sqlite3
from mlflow.exceptions import MlflowException
from pytorch_lightning.loggers import MLFlowLogger

try:
    MLFlowLogger("demo").log_metrics({"loss": 1.0}, step=0)
    print("default: works")
except MlflowException as problem:
    print("default: MlflowException:", str(problem).split(" (e.g.")[0])
MLFlowLogger("demo", tracking_uri="sqlite:///mlflow.db").log_metrics({"loss": 1.0}, step=0)
count = sqlite3.connect("mlflow.db").execute("select count(*) from metrics").fetchone()[0]
print("sqlite:", count, "metric")
PYTHON
diff "$folder/seen" - <<'SEEN'
default: MlflowException: The filesystem tracking backend
sqlite: 1 metric
SEEN
