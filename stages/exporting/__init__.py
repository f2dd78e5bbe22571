"""export, room by room: which images go out, how they are dealt to files, the three forms, and publishing."""
