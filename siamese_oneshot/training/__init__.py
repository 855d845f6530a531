"""The LightningModule and the main job."""
