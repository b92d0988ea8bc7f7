"""DNS for StatefulSets: names that are there when the pods are, and reasons when they are not."""

__version__ = "0.1.0"
