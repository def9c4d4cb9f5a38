"""Where clusters run: one package for each place, behind the port in clipper_admin.cluster.host."""
