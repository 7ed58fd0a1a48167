"""Other programs' folders as tasks, as they are: nothing in them is changed or added."""
