"""Settings that are refused: overrides | parts of the one line that answers.

The answer must also name the last override's key, as ``key=``, unless the row begins with ``!``.
"""

from __future__ import annotations

TRAIN = r"""
seed=-1 | seed=-1 | an integer from 0
seed=abc | an integer
seed=null | an integer
seed=99999999999999999999 | an integer
seed=4294967296 | from 0 to 4294967295
test=maybe | true or false
name=2024 | a text
name=null | a text
channels_last=maybe | true or false
trainer.max_steps=abc | an integer
trainer.max_steps=1.5 | an integer
trainer.max_steps=nan | an integer
trainer.max_epochs=-7 | -1 or more
trainer.max_steps=0 | 1 or more
trainer.max_steps=9 trainer.max_epochs=0 | 1 or more
! trainer.max_steps=-1 | trainer.max_steps | needs an end
trainer.accelerator=nonsense | cpu
trainer.accelerator=tpu | cpu
trainer.precision=8 | 32-true
trainer.accelerator=cpu trainer.precision=16-mixed | needs a GPU
trainer.devices=0 | from 1 to
trainer.devices=9999 | from 1 to
trainer.devices=abc | from 1 to
trainer.devices=-1 | from 1 to
trainer.num_nodes=0 | 1 or more
trainer.log_every_n_steps=0 | 1 or more
trainer.gradient_clip_val=nan | above 0
trainer.gradient_clip_val=-1 | above 0
! +trainer.max_step=9 | trainer: | unexpected keyword argument 'max_step'
optimizer.lr=-1 | 0 or more
optimizer.lr=nan | number
optimizer.lr=inf | number
optimizer.lr=abc | number
optimizer.lr=[1,2] | [1, 2] | number
! optimizer.lr={stage9:1} | optimizer.lr.stage9 | Did you mean stage
! optimizer.lr={stage1:1} | optimizer.lr | default
optimizer.weight_decay=-1 | 0 or more
optimizer.weight_decay=abc | number
optimizer.warmup=2 | from 0 to 1
optimizer.min_lr_ratio=-1 | from 0 to 1
optimizer.betas=[0.9,1] | below 1
optimizer.betas=0.9 | list of 2 numbers
optimizer=paper_sgd +optimizer.momentum.stage1=2 | from 0 to 1
optimizer=paper_sgd optimizer.decay=nan | from 0 to 1
optimizer=paper_sgd optimizer.momentum_epochs=-1 | 0 or more
loss.l2=-1 | 0 or more
loss.l2=abc | number
loss.smoothing=nan | from 0 to 1
loss=episodic_hinge loss.margin=0 | above 0
sampler.n_alphabets=0 | 1 or more
! sampler.n_alphabets=99 | 99 | sampler.n_alphabets
! sampler.n_way=99 | sampler. | 99 characters
sampler.n_way=2.5 | an integer
! sampler.n_drawers=99 | sampler. | 99 drawers
sampler.steps_per_epoch=0 | 1 or more
sampler.random_rot90=maybe | true or false
loss=bce_pairs sampler.batch_size=0 | 2 or more
loss=bce_pairs sampler.batch_size=abc | an integer
loss=bce_pairs sampler.n_fixed_pairs=1 | sampler.n_fixed_pairs=1
loss=bce_pairs sampler.n_augmented_copies=-1 | 0 or more
! loss=bce_pairs sampler=episodic_ce sampler.n_alphabets=1 sampler.n_way=3 | sampler=bce_pairs
sampler.augmentation=none | null
sampler.augmentation.rotation=nan | from 0 to 180
sampler.augmentation.shear=1 | below 1
sampler.augmentation.scale=[2,1] | [2, 1]
sampler.augmentation.scale=1 | 2 numbers above 0
sampler.augmentation.shift=inf | 0 or more
sampler.augmentation.probability=2 | from 0 to 1
sampler.augmentation.elastic=-1 | 0 or more
sampler.augmentation.grid=1 | 2 or more
sampler.alphabet_augmentation=false | null
sampler=episodic_ce sampler.alphabet_augmentation.rotation=-1 | from 0 to 180
sampler=episodic_ce sampler.alphabet_augmentation.scale=[2,1] | [2, 1]
sampler.n_synthetic=-1 | from 0 to 1
! sampler.n_synthetic=0.5 | n_synthetic | extra_synthetic
sampler.n_composite=9 | from 0 to 1
! sampler.n_composite=1 sampler.n_way=3 | n_way | 4
! model.encoder.image_size=0 data.image_size=0 | image_size=0 | from 1 to
! data.image_size=100000 | image_size=100000 | from 1 to
! model.encoder.image_size=3 data.image_size=3 | model.encoder | 3x3
! model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.kernels=[50,3,3,3] | 50x50
! model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.kernels=[5,3,3] | 4, 3, 4
model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.kernels=[5,3,3,x] | integers
model.encoder.filters=[2,2,-4] | 1 or more
model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.strides=[0,1,1,1] | 1 or more
! model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.pool_sizes=[9,9,9,9] | conv2
model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.pool_sizes=[1,2,2,0] | 1 or more
model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.padding=full | valid, same
model=cross_attention model.encoder.filters=[2,2,2,2] model.encoder.batch_norm=1 | true or false
model.encoder.local_dim=-1 | 0 or more
model.encoder.dropout=2 | from 0 to 1
model.encoder.embedding_dim=0 | 1 or more
model.encoder.activation=gelu | relu
model.encoder.background_value=nan | number
model=dense model.encoder.hidden=[0] | 1 or
model.encoder.local_dim=0 | 1 or more
! model.similarity.local_dim=7 | model.similarity | 7
! model.similarity.heads=7 | heads | 7
model.similarity.channelwise_l1=2 | true or
model.similarity.weight_init=abc | number
model.init=he | paper, replication, torch
model.encoder._target_=siamese_oneshot.models.conv_encoder.Nothing | no such class
! model.encoder._target_=os.system | model.encoder | os.system
data.source=tiff | omniglot, synthetic, folder
data.on_missing=nothing | synthetic, null
data.download=maybe | true or false
data.split=lakes | lake, koch
! data.split=koch | split=koch | Omniglot | ratio_60_20_20
data.val_alphabets=Greek | list of names
data.num_workers=-1 | 0 or more
data.eval_batch_size=0 | 1 or more
data.eval.way=1 | 2 or more
! data.eval.way=99 | way=99
data.eval.way=2.5 | an integer
data.eval.n_pairs=abc | an integer
data.eval.test_runs=-1 | 1 or more
data.eval.pairs_within_alphabet=maybe | true
data.extra_synthetic.n_alphabets=-1 | an integer
data.synthetic.n_alphabets=0 | an integer
data.synthetic.n_characters=[9,3] | [9, 3]
! data.synthetic.n_drawers=1 | drawers
! data.extra_synthetic.n_alphabets=2 sampler.n_synthetic=0.5 data.extra_synthetic.n_drawers=0 | =0
callbacks.early_stopping=false | null
callbacks.validation_plots=false | null
callbacks.ema.decay=2 | from 0 to 1
callbacks.early_stopping.patience=abc | an integer
! callbacks.early_stopping.mode=abc | Lightning | `mode` can be min, max
! callbacks.progress.refresh_rate=abc | refresh_rate
callbacks.last_checkpoint.every_n_minutes=abc | 0 or more
callbacks.last_checkpoint.every_n_minutes=-1 | 0 or more
logger=wandb logger.wandb.mode=sometimes | offline, disabled
logger=wandb logger.wandb.tags=null | list of names
logger=wandb logger.wandb.project=2024 | a text
logger=wandb logger.wandb.name=12 | a text
logger=wandb logger.wandb.tags=baseline | list of names
logger=wandb logger.wandb.init_timeout=abc | 0 or more
logger=wandb logger.wandb.finish_timeout=-1 | 0 or more
! logger=wandb +logger.wandb.tag=[a] | logger.wandb | unexpected keyword argument 'tag'
"""
PREDICT = r"""
top_k=0 | 1 or more
top_k=1.5 | an integer
top_k=true | an integer
reject_threshold=nan | number
reject_threshold=high | number
on_error=ignore | skip, stop
support=null | a path
! weights=pretraned | Did you mean pretrained?
"""
EVALUATE = r"""
! models=pixel-l3 | Did you mean pixel-l
! models=[] | models | empty
accelerator=quantum | cpu
precision=7 | 32-true
eval_batch_size=0 | 1 or more
plots=some | true or false
protocols.max_way=0 | 1 or more
protocols.lake_sampling_runs=-1 | 0 or more
! models=chance split=lakes | split=lakes | lake, koch
logger=wandb logger.wandb.mode=sometimes | offline, disabled
"""


def _rows(command: str, table: str) -> list[tuple[str, list[str], list[str]]]:
    rows = []
    for text in table.strip().splitlines():
        line, *parts = (part.strip() for part in text.removeprefix("!").split(" | "))
        overrides = line.split()
        key = overrides[-1].partition("=")[0].lstrip("+")
        rows.append((command, overrides, parts if text.startswith("!") else [f"{key}=", *parts]))
    return rows


# command, overrides, parts of the answer
BAD_SETTINGS = [
    *_rows("train", TRAIN),
    *_rows("predict", PREDICT),
    *_rows("evaluate", EVALUATE),
]
