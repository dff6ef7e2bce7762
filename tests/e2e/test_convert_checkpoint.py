#!/usr/bin/env python3
"""What clients/python/convert_checkpoint.py makes of checkpoints' names and shapes; needs no torch."""

import pathlib
import sys
import types
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "clients" / "python"))

import convert_checkpoint as convert  # noqa: E402

E, F = 8, 12


def pair(name, *shape):
    """The weight and the bias of a module."""
    return {f"{name}.weight": list(shape), f"{name}.bias": [shape[0]]}


def timm(n_tokens=17, **more):
    shapes = {"cls_token": [1, 1, E], "pos_embed": [1, n_tokens, E]}
    shapes |= pair("patch_embed.proj", E, 3, 4, 4) | pair("norm", E) | pair("head", 10, E)
    for i in range(2):
        block = f"blocks.{i}."
        shapes |= pair(block + "norm1", E) | pair(block + "norm2", E)
        shapes |= pair(block + "attn.qkv", 3 * E, E) | pair(block + "attn.proj", E, E)
        shapes |= pair(block + "mlp.fc1", F, E) | pair(block + "mlp.fc2", E, F)
    return shapes | more


def renamed(shapes, *pairs):
    for old, new in pairs:
        shapes = {name.replace(old, new): shape for name, shape in shapes.items()}
    return shapes


def multihead():
    """The names of torch.nn.MultiheadAttention, and an MLP with dropout in a Sequential."""
    return renamed(timm(), ("attn.qkv.", "attn.in_proj_"), ("attn.proj", "attn.out_proj"),
                   ("mlp.fc1", "mlp.0"), ("mlp.fc2", "mlp.3"))


def vit_pytorch(version):
    """Of three layouts that vit-pytorch had, the oldest first."""
    shapes = {"cls_token": [1, 1, E], "pos_embedding": [1, 17, E]}
    for i in range(2):
        a, m = f"transformer.layers.{i}.0.", f"transformer.layers.{i}.1."
        norms = ("fn.norm", "norm", "norm")[version]
        shapes |= pair(a + norms, E)
        shapes[a + ("fn.fn.", "fn.", "")[version] + "to_qkv.weight"] = [3 * E, E]
        shapes |= pair(a + ("fn.fn.to_out", "fn.to_out.0", "to_out.0")[version], E, E)
        shapes |= pair(m + ("fn.norm", "norm", "net.0")[version], E)
        shapes |= pair(m + ("fn.fn.net.0", "fn.net.0", "net.1")[version], F, E)
        shapes |= pair(m + ("fn.fn.net.2", "fn.net.3", "net.4")[version], E, F)
    if version == 0:
        shapes |= pair("patch_to_embedding", E, 16)
        shapes |= pair("mlp_head.0", F, E) | pair("mlp_head.2", 10, F)
    elif version == 1:
        shapes |= pair("to_patch_embedding.1", E, 48)
        shapes |= pair("mlp_head.0", E) | pair("mlp_head.1", 10, E)
    else:
        shapes |= pair("to_patch_embedding.1", E, 48)
        shapes |= pair("transformer.norm", E) | pair("mlp_head", 10, E)
    return shapes


def options(**more):
    settings = dict(heads=2, image_size=None, act="gelu", norm_eps=1e-6, labels=None, mean=[0.5], std=[0.5])
    return types.SimpleNamespace(**(settings | more))


class Names(unittest.TestCase):
    def test_timm(self):
        family, sources = convert.plan(timm())
        self.assertEqual(family, "vit")
        key = "vit.encoder.layer.1.attention.attention.key.bias"
        self.assertEqual(sources[key], ("blocks.1.attn.qkv.bias", 1, 3))
        self.assertEqual(sources["vit.layernorm.weight"], ("norm.weight", 0, 1))
        self.assertEqual(sources["classifier.weight"], ("head.weight", 0, 1))
        self.assertEqual(len(sources), 2 + 6 + 2 * 16)

    def test_all_give_the_names_of_vit(self):
        expected = set(convert.plan(timm())[1])
        self.assertEqual(set(convert.plan(multihead())[1]), expected)
        expected -= {name for name in expected if "attention.attention" in name and "bias" in name}
        for version in (1, 2):
            self.assertEqual(set(convert.plan(vit_pytorch(version))[1]), expected)
        wrapped = {"module." + name: shape for name, shape in vit_pytorch(2).items()}
        self.assertEqual(set(convert.plan(wrapped)[1]), expected)

    def test_a_head_of_two_layers_and_no_last_norm(self):
        _, sources = convert.plan(vit_pytorch(0))
        self.assertIn("pre_classifier.weight", sources)
        self.assertNotIn("vit.layernorm.weight", sources)
        config = convert.describe(vit_pytorch(0), options())
        self.assertEqual(config["classifier_hidden_size"], F)
        self.assertIs(config["use_final_layernorm"], False)
        self.assertIs(config["qkv_bias"], False)
        self.assertEqual((config["num_channels"], config["patch_size"]), (1, 4))

    def test_deit_and_dinov2(self):
        shapes = timm(n_tokens=18, dist_token=[1, 1, E], **pair("head_dist", 10, E))
        family, sources = convert.plan(shapes)
        self.assertEqual(family, "deit")
        self.assertIn("deit.embeddings.distillation_token", sources)
        self.assertIn("cls_classifier.bias", sources)
        self.assertIn("distillation_classifier.bias", sources)
        config = convert.describe(shapes, options())
        self.assertEqual(config["architectures"], ["DeiTForImageClassificationWithTeacher"])
        scales = {f"blocks.{i}.ls{j}.gamma": [E] for i in range(2) for j in (1, 2)}
        shapes = {name: shape for name, shape in timm(**scales).items() if "head" not in name}
        family, sources = convert.plan(shapes)
        self.assertEqual(family, "dinov2")
        self.assertIn("encoder.layer.1.mlp.fc2.weight", sources)
        self.assertIn("encoder.layer.0.attention.output.dense.weight", sources)
        self.assertIn("encoder.layer.0.layer_scale2.lambda1", sources)
        self.assertEqual(convert.describe(shapes, options())["mlp_ratio"], F / E)

    def test_unknown_names_are_refused(self):
        with self.assertRaisesRegex(ValueError, "1 names are not known: blocks.0.attn.gate"):
            convert.plan(timm(**{"blocks.0.attn.gate": [E]}))
        with self.assertRaisesRegex(ValueError, "are both"):
            convert.plan(timm(**pair("mlp_head", 10, E)))


class Configuration(unittest.TestCase):
    def test_of_the_shapes(self):
        config = convert.describe(timm(), options(labels=list("abcdefghij")))
        self.assertEqual(config["hidden_size"], E)
        self.assertEqual(config["intermediate_size"], F)
        self.assertEqual(config["num_hidden_layers"], 2)
        self.assertEqual((config["image_size"], config["patch_size"]), (16, 4))
        self.assertEqual(config["id2label"]["3"], "d")
        preprocessor = convert.preprocessor(config, options(mean=[0.1, 0.2, 0.3]))
        self.assertEqual(preprocessor["image_mean"], [0.1, 0.2, 0.3])
        self.assertEqual(preprocessor["image_std"], [0.5, 0.5, 0.5])

    def test_an_image_that_is_no_square(self):
        self.assertEqual(convert.describe(timm(9), options(image_size=[8, 16]))["image_size"], [8, 16])
        with self.assertRaisesRegex(ValueError, "has not 8 patches"):
            convert.describe(timm(9), options())

    def test_what_does_not_fit(self):
        with self.assertRaisesRegex(ValueError, "--heads 3 does not divide"):
            convert.describe(timm(), options(heads=3))
        with self.assertRaisesRegex(ValueError, "2 labels, expected 10"):
            convert.describe(timm(), options(labels=["a", "b"]))


if __name__ == "__main__":
    unittest.main()
