"""The networks by name; any `torch.nn.Module` works."""
