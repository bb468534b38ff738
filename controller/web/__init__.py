"""What people, their scripts and Traefik get by HTTP."""
