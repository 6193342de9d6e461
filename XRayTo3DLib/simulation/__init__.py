"""X-rays of CTs: materials, beam, detector, inserts, and the phantom."""
