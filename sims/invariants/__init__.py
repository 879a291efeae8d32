"""The conformance kit: is my ticket variant correct?"""
