"""Slot hosts: where slot processes live (this machine, containers, Ray actors), behind one port."""
