"""The source of a distribution of its own: a third-party backend, installed by `support.distributions`."""
