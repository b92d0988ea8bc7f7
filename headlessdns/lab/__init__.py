"""A cluster on a laptop."""

from headlessdns.lab.client import Lab

__all__ = ["Lab"]
