"""WebSocket over the gateway: live streams for browsers."""
