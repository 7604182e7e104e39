"""One spiking network, every rule: what each reaches on Omniglot with constants set by hand and with meta-trained ones."""
