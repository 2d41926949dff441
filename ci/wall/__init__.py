"""The wall: every rule our code keeps, each with the check that enforces it (spec/wall.md)."""
