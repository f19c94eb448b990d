"""Our adapter files against the tools that others use: a development check, not part of `make test`.

    pip install torch transformers peft gguf
    evol train ... --out ADAPTER          # with any options; q_proj=... ranks and rsLoRA too
    python tests/oracle/peft_oracle.py MODEL.gguf ADAPTER LLAMA_CPP

LLAMA_CPP is a checkout of llama.cpp (its `convert_lora_to_gguf.py` is run). Checked, and printed:
1. the tensors that llama.cpp's converter makes of our PEFT folder are those of our `adapter.gguf`, byte for byte;
2. the logits of Hugging Face's model with PEFT's adapter are those of the same model with our GGUF adapter added to the
   weights here (W + alpha / r * B A, with the q and k rows in GGUF's order undone), within 1e-3.
"""
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM

model_path, adapter, llama_cpp = (pathlib.Path(argument) for argument in sys.argv[1:4])
base = AutoModelForCausalLM.from_pretrained(model_path.parent, gguf_file=model_path.name, dtype=torch.float32)

with tempfile.TemporaryDirectory() as folder:
    config = AutoConfig.from_pretrained(model_path.parent, gguf_file=model_path.name)
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    converted = pathlib.Path(folder) / "converted.gguf"
    subprocess.run(
        [sys.executable, llama_cpp / "convert_lora_to_gguf.py", adapter / "peft", "--base", folder,
         "--outtype", "f32", "--outfile", converted],
        check=True, capture_output=True,
    )
    theirs = {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(converted).tensors}
    alpha = lambda path: gguf.GGUFReader(path).fields["adapter.lora.alpha"].parts[-1][0]
    same_alpha = alpha(converted) == alpha(adapter / "adapter.gguf")
ours = {tensor.name: tensor.data.tobytes() for tensor in gguf.GGUFReader(adapter / "adapter.gguf").tensors}
different = [name for name in ours if theirs.get(name) != ours[name]]
print(f"{len(ours)} tensors here, {len(theirs)} there, {len(different)} differ, alpha equal: {same_alpha}")

tokens = torch.randint(0, base.config.vocab_size, (1, 128), generator=torch.Generator().manual_seed(1))
with torch.no_grad():
    plain = base(tokens).logits
    reader = gguf.GGUFReader(adapter / "adapter.gguf")
    scale = reader.fields["adapter.lora.alpha"].parts[-1][0]
    tensors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    names = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
             "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
             "ffn_down": "mlp.down_proj"}
    before = {name: parameter.clone() for name, parameter in base.named_parameters()}
    for name, a in tensors.items():
        if not name.endswith(".lora_a"):
            continue
        _, layer, module = name.split(".")[:3]
        b = tensors[name[:-1] + "b"]
        delta = (scale / a.shape[0]) * (b.astype(np.float64) @ a.astype(np.float64))
        if module in ("attn_q", "attn_k"):
            head = base.config.hidden_size // base.config.num_attention_heads
            rows = delta.reshape(-1, head // 2, 2, delta.shape[1])
            delta = rows.swapaxes(1, 2).reshape(delta.shape)
        weight = base.get_parameter(f"model.layers.{layer}.{names[module]}.weight")
        weight += torch.from_numpy(delta.astype(np.float32))
    merged = base(tokens).logits
    for name, parameter in base.named_parameters():
        parameter.copy_(before[name])
    peft = PeftModel.from_pretrained(base, adapter / "peft").eval()(tokens).logits
difference = (peft - merged).abs().max().item()
print(f"largest |difference| of logits {difference:.2e}; the adapter changes them by {(merged - plain).abs().max():.2f}")
sys.exit(0 if not different and len(theirs) == len(ours) and same_alpha and difference <= 1e-3 else 1)
