"""One rank of a reconstruction: data, starts, training, previews, checkpoints."""
