"""Omniglot learnt on the chip: features of a published network, and behind them a learner whose weights adapt by their own errors."""
