"""The server that workers of many machines enrol with: durable, guarded, watched in a browser."""
