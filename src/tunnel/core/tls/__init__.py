"""The first message of TLS, read without taking part: which name and which protocol a client asks for."""
