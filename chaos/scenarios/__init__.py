"""The scenarios, one file each: the file's name is the scenario's, its first line what it is about: docs/chaos.md."""
