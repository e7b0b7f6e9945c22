"""Arithmetic of ranks."""

# A list adds 1 / (RRF + rank) to what it ranks: so much that first places do not decide alone.
# Source: Cormack et al. 2009, doi:10.1145/1571941.1572114 (reciprocal rank fusion).
RRF = 60
