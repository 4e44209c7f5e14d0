"""What `make demo` and `make film` share: samples, emulators, progress, results; never a decision of the operator's."""
