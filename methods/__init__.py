"""Self-supervised methods as plans of views and pairs; add-ons that rewrite the plans."""
