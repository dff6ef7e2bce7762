"""Writes tests/golden/template.json: what jinja2 renders for templates over message lists.

Needs: jinja2 3.1.6. The environment is set as transformers' apply_chat_template sets it. SmolLM2's and
Qwen2.5's templates are the models' own; the others are written in the style of well-known ones. Run: python3 make_template.py

{"templates": {name: text}, "chats": [{"name", "messages", "prompt", "output" or "error"}],
 "snippets": [[template, output or null where it fails]]}; bos is "<s>" and eos "</s>".
"""

import json
import pathlib

import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

OUT = pathlib.Path(__file__).resolve().parent / "template.json"

TEMPLATES = {
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"),
    "chatml": """{%- for message in messages %}
    {{- '<|im_start|>' ~ message.role ~ '\\n' ~ (message.content | trim) ~ '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "llama2": """{# one system message at most #}
{% if messages[0]['role'] == 'system' %}
    {% set loop_messages = messages[1:] %}
    {% set system_message = messages[0]['content'] %}
{% else %}
    {% set loop_messages = messages %}
    {% set system_message = false %}
{% endif %}
{% for message in loop_messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
    {% endif %}
    {% if loop.index0 == 0 and system_message %}
        {% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}
    {% else %}
        {% set content = message['content'] %}
    {% endif %}
    {% if message['role'] == 'user' %}
        {{- bos_token + '[INST] ' + content | trim + ' [/INST]' }}
    {% elif message['role'] == 'assistant' %}
        {{- ' ' ~ content.strip() ~ ' ' ~ eos_token }}
    {% endif %}
{% endfor %}""",
    "llama3": """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen2.5": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\nYou are provided with function signatures within <tools></tools> XML tags:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "thinking": """{%- set ns = namespace(is_first=true, last_query=-1, n=0) -%}
{%- for message in messages[::-1] -%}
  {%- set index = (messages|length - 1) - loop.index0 -%}
  {%- if ns.last_query < 0 and message.role == 'user' -%}{%- set ns.last_query = index -%}{%- endif -%}
{%- endfor -%}
{%- for message in messages -%}
  {%- if message.role == 'assistant' -%}
    {%- set content = message.content -%}
    {%- if '</think>' in content -%}
      {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') -%}
      {%- set content = content.split('</think>')[-1].lstrip('\\n') -%}
      {%- if loop.index0 > ns.last_query %}<think>{{ thought }}</think>{% endif -%}
    {%- endif -%}
    {% generation %}<a>{{ content }}{% endgeneration %}{{ eos_token }}
  {%- else -%}
    <{{ message.role[0] | upper }}{{ message.role[1:].title() }}>{{ message['content'] }}
  {%- endif -%}
  {%- set ns.n = ns.n + 1 -%}
{%- endfor -%}
{{ '\\n[' ~ ns.n ~ ' of ' ~ messages|length ~ ']' }}
""",
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}""",
}

CHATS = [
    [],
    [("user", "Hello")],
    [("user", "  spaces \n"), ("assistant", "\n answer \t"), ("user", "x")],
    [("system", "Be brief."), ("user", "2+2?")],
    [("system", " S "), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    [("user", "a"), ("user", "b")],
    [("assistant", "first")],
    [("user", ""), ("assistant", ""), ("user", "")],
    [("user", "日本語 😀 \u00a0é\u2028"), ("assistant", "naïve “quotes” 'x' \"y\" \\ {{ x }} {% if %}")],
    [("user", "q"), ("tool", "{\"a\": 1}"), ("tool", "two"), ("assistant", "r")],
    [("user", "q"), ("assistant", "<think>\nhm\n</think>\n\nA"), ("user", "r"), ("assistant", "<think>ok</think>B")],
    [("ipython", "out\x00put"), ("user", "<|im_end|>")],
    [("user", "line\r\nline\rline\n" * 3)] * 7,
]

# The context has two messages: user "Hi \u00e9\U0001F600", assistant "ok". One snippet a line where it fits.
SNIPPETS = r"""
{{ 1 }} {{ 1.5 }} {{ 'a' }} {{ "b" }} {{ true }} {{ False }} {{ none }} {{ None }} {{ undefined_name }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7 / 2 }} {{ 6 / 3 }}
{{ 7.5 // 2 }} {{ 7.5 % 2 }} {{ -7.5 % 2 }} {{ 1e3 }} {{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1.5e300 }} {{ 123456789012345678 }}
{{ 3.14 }} {{ 100.0 }} {{ 0.0001 }} {{ 1e15 }} {{ 2.5e-10 }} {{ 1/3 }} {{ -0.0 }} {{ 1e100 * 10 }}
{{ 1 // 0 }}
{{ 1 % 0 }}
{{ 1 / 0 }}
{{ 'a' + 'b' }} {{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ undefined_name }} {{ 'ab' * 3 }} {{ 2 * 'x' }} {{ 'x' * -1 }} {{ [1] * 2 }} {{ [1] + [2, 3] }}
{{ 'a' + 1 }}
{{ 1 + 'a' }}
{{ none + 'a' }}
{{ 'a' + undefined_name }}
{{ [1] + (2,) }}
{{ 'a' 'b' "c" }} {{ 'it''s' }} {{ 'tab\tnl\\n\x41\u00e9\U0001F600\101 \q \'' }}
{{ 1 == 1.0 }} {{ 1 == true }} {{ 'a' == 'a' }} {{ 'a' != 'b' }} {{ none == false }} {{ [1, 'a'] == [1, 'a'] }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1.0} }}
{{ 1 < 2 }} {{ 2 <= 2 }} {{ 3 > 4 }} {{ 'a' < 'b' }} {{ 'é' > 'z' }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 == 2 }} {{ 1.5 > 1 }} {{ 'ab' < 'abc' }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ undefined_name < 1 }}
{{ undefined_name == undefined_name }} {{ undefined_name == none }} {{ undefined_name != 1 }}
{{ 'a' in 'abc' }} {{ 'd' in 'abc' }} {{ 'd' not in 'abc' }} {{ 1 in [1, 2] }} {{ 1.0 in [1] }} {{ 'a' in {'a': 1} }} {{ '' in '' }} {{ 1 in undefined_name }} {{ not 1 in [2] }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ none in [none] }} {{ [1] in [[1]] }}
{{ true and 'x' }} {{ 0 or 'y' }} {{ '' and 1 }} {{ 1 and 2 and 3 }} {{ 0 or '' or none }} {{ not '' }} {{ not not 1 }} {{ not true and false }} {{ true or 1 // 0 }}
{{ 'a' if true else 'b' }} {{ 'a' if false else 'b' }} {{ 'a' if false }} {{ 1 if 0 else 2 if 0 else 3 }} {{ ('a' if true else 'b') ~ 'c' }} {{ 'a' if [] else 'b' }}
{{ [1, 2, 3] }} {{ [] }} {{ (1,) }} {{ (1, 2) }} {{ () }} {{ {'a': 1, 'b': [true, none]} }} {{ {} }} {{ 1, 2 }} {{ [1,] }} {{ {'a': 1,} }} {{ {1: 'x', 'y': 2.0} }}
{{ ['it\'s', "a\"b", 'both\'"', '\n\t\\', 'é😀'] }}
{{ {'a': 1, 'a': 2} }}
{{ [1, 2, 3][0] }} {{ [1, 2, 3][-1] }} {{ [1, 2, 3][5] }} {{ 'abc'[1] }} {{ 'aé😀b'[2] }} {{ 'abc'[-1] }} {{ 'abc'[9] }} {{ {'a': 1}['a'] }} {{ {'a': 1}['b'] }} {{ {'a': 1}.a }} {{ [4, 5].1 }}
{{ [1, 2, 3, 4][1:] }} {{ [1, 2, 3, 4][:-1] }} {{ [1, 2, 3, 4][::2] }} {{ [1, 2, 3, 4][::-1] }} {{ [1, 2, 3][5:] }} {{ [1, 2, 3][-2:] }} {{ [1, 2, 3][-9:2] }} {{ (1, 2, 3)[1:] }} {{ [1, 2, 3, 4][3:0:-2] }}
{{ 'abcdef'[1:3] }} {{ 'aé😀b'[1:3] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[4:1:-1] }} {{ 'abc'[:0] }} {{ 'abc'[2:1] }} {{ 'abc'[none:2] }} {{ 'aé😀b'[::2] }} {{ '😀é'[::-1] }}
{{ [1, 2][::0] }}
{{ 'abc'['a'] }} {{ [1]['a'] }} {{ 5[0] }} {{ none.x }} {{ true['x'] }}
{{ undefined_name.x }}
{{ undefined_name[0] }}
{{ {'a': {'b': {'c': 1}}}.a.b.c }} {{ {'a': [1, {'b': 2}]}['a'][1].b }} {{ {'a': 1}.missing is defined }}
{{ {'a': 1}.missing.x }}
{{ -1 }} {{ +1 }} {{ - 1 }} {{ --1 }} {{ -true }} {{ -1.5 }} {{ 2 - -2 }} {{ -(1 + 2) }}
{{ -'a' }}
{{ -1 | string ~ 'x' }} {{ '1' ~ 2 * 3 }} {{ -[1]|first }} {{ -{'a': 2}.a }}
{{ 1 + 2 ~ 3 }}
{{ 1 ~ 2 + 3 }}
{{ 9223372036854775807 }} {{ 9223372036854775806 + 1 }} {{ -9223372036854775807 - 1 }}
{{ '  a b '|trim }}| {{ 'xxaxx'|trim('x') }} {{ ''|trim }}| {{ '\u00a0 \u2028a\u3000'|trim }}| {{ 5|trim }} {{ undefined_name|trim }}|
{{ 'aé😀'|length }} {{ [1, 2]|length }} {{ {'a': 1}|count }} {{ undefined_name|length }} {{ (1, 2, 3)|length }}
{{ 5|length }}
{{ none|length }}
{{ 'aBc d'|upper }} {{ 'aBc D'|lower }} {{ 'aBC dEF'|capitalize }} {{ 5|upper }} {{ none|upper }} {{ 'ab'.upper() }} {{ 'AB'.lower() }} {{ 'hello wORLD it\'s x2y'.title() }} {{ 'aBc'.capitalize() }}
{{ undefined_name|default('x') }} {{ none|default('x') }} {{ ''|default('x') }} {{ ''|default('x', true) }} {{ ''|default('x', boolean=true) }} {{ 0|d(1, true) }} {{ undefined_name|default }}| {{ undefined_name|default(default_value=3) }} {{ 1|default(2) }}
{{ [1, 2]|first }} {{ [1, 2]|last }} {{ 'ab'|first }} {{ 'aé'|last }} {{ []|first }}| {{ {'a': 1, 'b': 2}|first }} {{ {'a': 1, 'b': 2}|last }} {{ undefined_name|first }}|
{{ [1, 'a', none]|join }} {{ [1, 2]|join(', ') }} {{ 'abc'|join('-') }} {{ []|join(',') }}| {{ {'a': 1, 'b': 2}|join('+') }} {{ [1, 2]|join(d='/') }} {{ [[1], 2]|join }}
{{ 5|join }}
{{ 'a<b>'|safe }} {{ 5|string }} {{ none|string }} {{ 'abc'|list }} {{ {'a': 1}|list }} {{ (1, 2)|list }} {{ '<'|safe ~ '>' }} {{ [1]|string|length }}
{{ none|list }}
{{ 'aXbXc'|replace('X', '--') }} {{ 'aaa'|replace('a', 'b', 2) }} {{ 'abc'|replace('x', 'y') }} {{ 123|replace(2, 'x') }} {{ 'aaa'|replace('aa', '') }} {{ 'abab'|replace('ab', 'ba') }} {{ 'aaa'|replace('a', 'b', 0) }}
{{ 'a'|tojson }} {{ "q\"\\/\b\f\n\r\t\x01\x7fé😀<>&'"|tojson }} {{ [1, 2.5, true, none, {'a': []}]|tojson }} {{ {}|tojson }} {{ {'a': {'b': 1}}|tojson }} {{ (1, 2)|tojson }}
{{ {'a': [1, {'b': 2}], 'c': {}, 'd': []}|tojson(indent=2) }}
{{ [1, [2]]|tojson(indent=0) }} {{ {'a': 1}|tojson(indent=none) }} {{ [1]|tojson(indent=4) }}
{{ undefined_name|tojson }}
{{ {'b': 1, 'a': 2}|items|list }} {{ {'b': 1, 'a': 2}.items() | list }} {{ {'b': 1}.keys()|list }} {{ {'b': 1}.values()|list }} {{ {'b': 1}.get('b') }} {{ {'b': 1}.get('c') }} {{ {'b': 1}.get('c', 'd') }}
{{ 'x'.items() }}
{{ ' a '.strip() }}| {{ ' a '.lstrip() }}| {{ ' a '.rstrip() }}| {{ 'xya'.strip('xy') }} {{ 'axyx'.rstrip('xy') }} {{ 'xyax'.lstrip('yx') }} {{ '\x1f\x85a\x1c'.strip() }}| {{ 'a'.strip(none) }}
{{ 5.strip() }}
{{ none.strip() }}
{{ undefined_name.strip() }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith('bc') }} {{ 'abc'.endswith('bc') }} {{ 'abc'.endswith('') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith(('x', 'y')) }} {{ ''.startswith('a') }}
{{ 'abc'.startswith(1) }}
{{ 'abc'.startswith(['a']) }}
{{ 'a,b,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a,b,c'.split(',', maxsplit=1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'aXXbXXc'.split('XX') }} {{ ' a b  c '.split(none, 1) }} {{ ','.split(',') }} {{ 'a b'.split(sep=' ') }} {{ 'a\u2003b\u00a0c'.split() }}
{{ 'abc'.split('') }}
{{ 'a-b-c'.replace('-', '+') }} {{ 'aaa'.replace('a', 'b', 1) }} {{ 'abc'.replace('b', '') }} {{ ', '.join(['a', 'b']) }} {{ ''.join([]) }}|
{{ 'a'.replace(1, 'b') }}
{{ ', '.join([1]) }}
{{ 1 is defined }} {{ undefined_name is defined }} {{ undefined_name is undefined }} {{ none is none }} {{ 0 is none }} {{ 'a' is string }} {{ 1 is string }} {{ {} is mapping }} {{ [] is mapping }} {{ [] is iterable }} {{ 'a' is iterable }} {{ 5 is iterable }} {{ undefined_name is iterable }}
{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ 0 is boolean }} {{ [] is sequence }} {{ {} is sequence }} {{ 5 is sequence }}
{{ 1 is equalto 1 }} {{ 'a' is equalto('a') }} {{ 1 is eq 2 }} {{ 1 is in [1, 2] }} {{ 3 is in([1, 2]) }} {{ 4 is even }} {{ 3 is odd }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'b' is in 'abc' }}
{{ 1 is not none }} {{ not 1 is none }} {{ none is not none }} {{ 1 is defined and 2 is defined }} {{ 1 is none or 2 is number }} {{ 'x' if 1 is defined else 'y' }} {{ 1 is not defined }} {{ [1] is not string and true }}
{{ messages|length }} {{ messages[0].role }} {{ messages[0]['content'] }} {{ messages[-1].content }} {{ messages[0].content|length }} {{ messages[0] }} {{ messages[1]|tojson }} {{ messages[5] }}| {{ messages[0].get('role') }} {{ messages[0].tool_calls is defined }} {{ 'role' in messages[0] }}
{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools }}{{ documents }} {{ raise_exception is defined }} {{ range is defined }} {{ tools is defined }}
{{ range(3)|list }} {{ range(1, 4)|list }} {{ range(5, 0, -2)|list }} {{ range(0)|list }} {{ range(3, 1)|list }} {{ range(0, 10, 3)|list }}
{{ range(1, 2, 0) }}
{{ dict(a=1, b='x') }} {{ namespace(a=1).a }} {{ namespace().b is defined }} {{ dict() }}
{{ raise_exception('stop') }}
{{ 'a'|upper|lower|length }} {{ ('a' ~ 'b')|upper }} {{ 'a' ~ 'b'|upper }} {{ ['b', 'a'][1]|upper }} {{ [1, 2]|first + 1 }} {{ 1 + [1, 2]|last }}
{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop['index'] }};{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %} {% for x in undefined_name %}a{% else %}u{% endfor %} {% for c in 'aé😀' %}{{ c }}.{% endfor %} {% for k in {'a': 1} %}{{ k }}{% endfor %}
{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}={{ v }};{% endfor %} {% for (a, b) in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %} {% for a, b in ['xy'] %}{{ b ~ a }}{% endfor %}
{% for a, b in [(1, 2, 3)] %}{% endfor %}
{% for a, b in [(1,)] %}{% endfor %}
{% for a in none %}{% endfor %}
{% for a in 5 %}{% endfor %}
{% for x in [1, 2, 3, 4] if x % 2 == 0 %}{{ x }}/{{ loop.length }}{{ loop.last }} {% endfor %} {% for x in [1] if x > 5 %}{% else %}none{% endfor %} {% for k, v in {'a': 1, 'b': 2}.items() if v > 1 %}{{ k }}{% endfor %}
{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}
{% for x in [1, 2] %}{% for y in [3, 4] %}{{ loop.index }}{{ x }}{{ y }} {% if y == 3 and x == 2 %}{% break %}{% endif %}{% endfor %}{{ loop.index }}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {{ i }}|
{% for i in [1, 2] %}{{ y }}|{% set y = i %}{{ y }} {% endfor %}{{ y }}|
{% set ns = namespace(n=0) %}{% for i in [1, 2] %}{% set ns.n = ns.n + i %}{% set ns.m = i %}{% endfor %}{{ ns.n }}{{ ns.m }} {{ ns['n'] }}
{% set d = {'a': 1} %}{% set d.a = 2 %}
{% set x = y = 1 %}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = 1, 2 %}{{ t }} {% set (c, d) = [3, 4] %}{{ c + d }}
{% set a, b = [1] %}
{% set x %}a{{ 1 + 1 }} b{% endset %}[{{ x }}] {% set x %}{% endset %}[{{ x }}] {{ x is string }}
{% if true %}{% set x = 5 %}{% endif %}{{ x }} {% if 0 %}a{% elif '' %}b{% elif [0] %}c{% else %}d{% endif %} {% if none %}a{% endif %}|
{% if 1 %}{% if 0 %}a{% else %}b{% endif %}{% endif %} {% if messages and messages[0].role == 'user' %}u{% endif %} {% if not tools %}t{% endif %}
{# a comment #}a{# {{ b }} #}b{#- c -#} d {{- 'e' -}} f
{{ {'a': {'b': 1}}['a'] }}{{ {'x': {}} }} {{ '}}' }} {{ '%}' }} {% if '%}' %}y{% endif %}
a {%- if true -%} b {%- endif -%} c {{- 1 -}} d
  {% if true %}  x  {% endif %}  y
  {%+ if true %}  x  {%+ endif +%}  y
{% generation %}g{{ 1 }}{% endgeneration %} {% for x in [1] %}{% generation %}{{ x }}{% endgeneration %}{% endfor %}
{{ '' }}{{ ' ' }}|
{{ 1 if true }} {{ (1 if false) is defined }} {{ [1 if true else 2] }}
{{ 'a' is divisibleby 2 }}
{{ (1, 2) == (1, 2) }} {{ (1, 2) in [(1, 2)] }} {{ [[]] == [[]] }} {{ {'a': []}.a == [] }}
{{ 'abc'|first|upper ~ 'x' }} {{ not 'a' in 'abc' }}
{{ 'a' is string is true }}
{{ namespace(1) }}
{{ loop is defined }} {% for x in [1] %}{{ loop is defined }}{% endfor %}
{% for loop in [1] %}{{ loop is number }}{% endfor %}
"""

BLOCKS = [
    "", "\n", "\n\n", "a\n", "a\n\n", "\r\na\r\n", "a\rb", " \n {# c #} \n b", "{# c #}\n\nx", "{#- c +#}\nx", "{% if true %}\n\n  a\n  {% endif %}\n\nb",
    "  {{ 1 }}\n  {{ 2 }}\n", "x\n\t {%- if true %} \n y {% endif -%}\n\n z", "{%+ if 1 %}\n a\n\t{%+ endif %}\nb", " {% if 1 %} {% if 1 %} a {% endif %} {% endif %} ",
    "{{ 1 -}}\n\n {{ 2 }}\n\n{{- 3 }}\n", "{{ 1 }}\n{% if 1 %}\n{% endif %}\n{{ 2 }}", "{% for i in [1, 2] %}\n  {{ i }}\n{% endfor %}\nend", "a {%\nif true\n%}\n b {%\tendif %}",
    "  {# c #}  {# d #}\n e", "\u00a0{% if 1 %}a{% endif %}\u2003{%- if 1 %}b{% endif -%}\u3000 c", "{% if 1 -%}\n\n a {%- endif +%}\n\n", "{{- 1 }}", "a{{+1}}", "{# {% #}x{# #} #}",
    "{%- set x = 1 -%}\n{%- set y -%}\n 2 \n{%- endset -%}\n[{{ x }}{{ y }}]", "{ { } } {x} %} }} #}", "{", "a{", "{{ '{{' }}{{ '{%' }}", "é{{ 'é' }}😀",
    "\n{% if 1 %}\nx\n{% endif %}\n\n", "{{ 1 }}\r\n{% if 1 %}\r\nx{% endif %}\r\n",
    "{% for m in messages %}{{ loop.index ~ ':' ~ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{{ 'a\nb\r\nc' }} {{ 1 +\n 2 }}",
]


class Generation(jinja2.ext.Extension):
    """The tag of transformers' AssistantTracker, as far as rendering goes."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def raise_exception(message):
    raise TemplateError(message)


def render(template, messages, prompt):
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: form
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=prompt, tools=None, documents=None, bos_token="<s>", eos_token="</s>")


def main():
    chats = []
    for name, template in TEMPLATES.items():
        for chat in CHATS:
            for prompt in (False, True):
                messages = [{"role": role, "content": content} for role, content in chat]
                entry = {"name": name, "messages": messages, "prompt": prompt}
                try:
                    entry["output"] = render(template, messages, prompt)
                except Exception as error:
                    entry["error"] = str(error)
                chats.append(entry)
    messages = [{"role": "user", "content": "Hi é😀"}, {"role": "assistant", "content": "ok"}]
    snippets = []
    for snippet in SNIPPETS.strip("\n").split("\n") + BLOCKS:
        try:
            snippets.append([snippet, render(snippet, messages, True)])
        except Exception as error:
            print(f"fails as it should: {snippet[:60]!r}: {type(error).__name__} {str(error)[:80]}")
            snippets.append([snippet, None])
    golden = {"templates": TEMPLATES, "chats": chats, "snippets": snippets}
    OUT.write_text(json.dumps(golden, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
