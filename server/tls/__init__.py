"""Certificates: those that the service shows, those that it asks for, and how they change while it runs."""
