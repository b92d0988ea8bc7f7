"""An embedded Kubernetes API: a store without I/O, the rules of Kubernetes on top, a thin HTTP shell."""
