"""One module a framework, all behind one small interface."""
