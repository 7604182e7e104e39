"""Run folders in, pictures and pages out. Reads files only: nothing here simulates or trains."""
