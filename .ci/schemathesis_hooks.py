"""Makes each Idempotency-Key new: used again for another body it is refused, as it must be, and no schema can say so."""

import itertools
import re

import schemathesis

NUMBERS = itertools.count()
KEY = "Idempotency-Key"


@schemathesis.hook
def before_call(context, case, **kwargs):
    key = (case.headers or {}).get(KEY)
    if isinstance(key, str) and re.fullmatch("[!-~]{1,255}", key):
        case.headers[KEY] = f"{key[:240]}-{next(NUMBERS)}"
