"""RELION: its projects as source, STAR files for it as sinks, and our External job."""
