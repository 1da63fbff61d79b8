"""tmp"""

import json


def finished(folder):
    try:
        return json.loads((folder / "item.json").read_text())["f"]
    except OSError:
        return None


def publish(made, folder, executor, started):
    from rsmtl.store.ledger import Ledger, fingerprint_digest

    (folder / "item.json").write_text(json.dumps({"f": fingerprint_digest(Ledger(folder).fingerprint())}))
