"""NGFF metadata as plain data: axes, scales, colours, display windows."""
