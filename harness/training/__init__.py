"""Training of reference models: plan, recipe, step, grouped models, GPUs, checkpoints."""
