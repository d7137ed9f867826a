"""Releases of hop-client, old and new: where scripts/peers puts their code, and a way to have each of them speak."""
