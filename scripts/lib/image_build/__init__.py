"""What runs inside an image build; it must never import anything but the standard library."""
