"""Files that people and other systems hand to sendctl, checked as they are read; nothing here writes the store."""
