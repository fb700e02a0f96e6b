"""What the tester of the API cannot know: how bodies look that are not JSON."""

import schemathesis


@schemathesis.serializer("application/wasm")
def wasm(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
