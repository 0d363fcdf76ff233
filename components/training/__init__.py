"""Models, trained by one of several frameworks behind one interface."""
