"""The example manifests: valid, and consistent with each other."""
