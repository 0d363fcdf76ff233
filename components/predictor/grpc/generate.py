"""`python -m stagewright.components.predictor.grpc.generate`: inference.proto -> descriptor.py. For developers.

protoc's Python code is not used: it registers its messages in the process's global descriptor pool, where KServe's and Triton's
clients register the same names (docs/decisions/0016).
"""

import base64
import sys
import textwrap
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
SOURCE, GENERATED = HERE / "inference.proto", HERE / "descriptor.py"


def generate() -> str:
    """Text of the generated module.

    Raises:
        RuntimeError: If the .proto file has errors; protoc has printed them.
    """
    from grpc_tools import protoc

    with TemporaryDirectory() as folder:
        compiled = Path(folder) / "descriptors"
        if protoc.main(["protoc", f"--proto_path={HERE}", f"--descriptor_set_out={compiled}", SOURCE.name]):
            raise RuntimeError(f"{SOURCE.name} cannot be compiled")
        encoded = base64.b85encode(compiled.read_bytes()).decode()
    lines = "\n".join(f'    "{line}"' for line in textwrap.wrap(encoded.replace("\\", "\\\\"), 116, break_on_hyphens=False))
    return (
        '"""Generated from inference.proto by generate.py: a FileDescriptorSet in base 85. Do not edit."""\n\n'
        f"FILE_DESCRIPTOR_SET = (\n{lines}\n)\n"
    )


if __name__ == "__main__":
    GENERATED.write_text(generate())
    sys.stdout.write(f"{GENERATED.name} written\n")
