"""Budget management of data centres that train and serve large AI models."""

__version__ = "0.1.0"
