"""Traefik's questions: may this request go to this session?"""
