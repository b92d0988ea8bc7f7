"""The files that bring headlessdns into a cluster: the image, the manifests, the blocks for CoreDNS."""
