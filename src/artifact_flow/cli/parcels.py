"""Parcels: the option by which CI jobs tell one another of them."""

PARCELS = "what `hand-over` printed in the job before; default: none"
