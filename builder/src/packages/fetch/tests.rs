//! Against a real HTTP server on loopback that misbehaves on purpose.
