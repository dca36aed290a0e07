"""Regional motion to intervals with onset, apex and offset."""
