package journal

// compressSealed compresses what the keeper may.
func (w *Writer) compressSealed() error { return nil }
