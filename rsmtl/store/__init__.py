"""What a run leaves behind: Zarr store, ledger, COGs, quicklook, provenance and, last, the STAC item."""
